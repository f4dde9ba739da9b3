"""Making data where there is too little: weak labels, annotation, questions on documents, augmentation."""
